<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology|MapTips|Temporal">
  <!-- Expressions, mode 4, and not the fields themselves, mode 2: older releases (3.22) compare a date with a point in
       time as texts, and so show polygons that begin on 1 January in the frame of the year before as well. -->
  <temporal enabled="1" mode="4" limitMode="1" startField="valid_from" endField="valid_to"
    startExpression="to_datetime(&quot;valid_from&quot;)" endExpression="to_datetime(&quot;valid_to&quot;)"/>
  <!-- A colour a year, from dark to bright: with the temporal controller off, the rings of growth lie in each other. -->
  <renderer-v2 type="categorizedSymbol" attr="year">
    <categories>
      <category symbol="0" value="2016" type="integer" label="2016" render="true"/>
      <category symbol="1" value="2017" type="integer" label="2017" render="true"/>
      <category symbol="2" value="2018" type="integer" label="2018" render="true"/>
      <category symbol="3" value="2019" type="integer" label="2019" render="true"/>
      <category symbol="4" value="2020" type="integer" label="2020" render="true"/>
      <category symbol="5" value="2021" type="integer" label="2021" render="true"/>
      <category symbol="6" value="2022" type="integer" label="2022" render="true"/>
      <category symbol="7" value="2023" type="integer" label="2023" render="true"/>
      <category symbol="8" value="2024" type="integer" label="2024" render="true"/>
      <category symbol="9" value="" type="string" label="other years" render="true"/>
    </categories>
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="73,3,160,40"/>
          <prop k="outline_color" v="73,3,160,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="116,1,168,40"/>
          <prop k="outline_color" v="116,1,168,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="156,23,158,40"/>
          <prop k="outline_color" v="156,23,158,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="3" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="188,53,135,40"/>
          <prop k="outline_color" v="188,53,135,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="4" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="213,84,110,40"/>
          <prop k="outline_color" v="213,84,110,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="5" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="234,116,87,40"/>
          <prop k="outline_color" v="234,116,87,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="6" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="249,151,63,40"/>
          <prop k="outline_color" v="249,151,63,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="7" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="254,192,41,40"/>
          <prop k="outline_color" v="254,192,41,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="8" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="244,237,39,40"/>
          <prop k="outline_color" v="244,237,39,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="9" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="0,229,255,40"/>
          <prop k="outline_color" v="0,229,255,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <previewExpression>"site_id" || ', ' || "year"</previewExpression>
  <mapTip enabled="1">&lt;b>[% "site_id" %]&lt;/b>, [% "country_name" %], [% "year" %]&lt;br>
[% format_number("area" / 10000, 2) %] ha, part [% "part" %]&lt;br>
from [% if("from_ids" = '', 'nothing', "from_ids") %], into [% if("into_ids" = '', 'nothing', "into_ids") %]</mapTip>
</qgis>
